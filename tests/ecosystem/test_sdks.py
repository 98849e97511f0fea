"""The OpenAI (2.x) and Anthropic (0.x) SDKs, huggingface_hub 1.x, gql and elastic-transport: clients of services."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import elastic_transport
import gql
import gql.transport.exceptions
import gql.transport.httpx
import huggingface_hub
import openai
import pytest
from services import ASK, COMPLETION, MESSAGE, Handler

import httpx


def test_openai_answers_and_streams(service: str):
    with openai.OpenAI(api_key="key", base_url=service) as client:
        assert client.chat.completions.create(**ASK).choices[0].message.content == "hello"
        with client.chat.completions.create(**ASK, stream=True) as stream:
            assert "".join(each.choices[0].delta.content or "" for each in stream) == "hello"
        raw = client.chat.completions.with_raw_response.create(**ASK)
        assert raw.http_response.__class__.__module__ == "httpx"
        assert len(client._client._transport._pool._requests) == 0


def test_openai_retries_and_reports_errors(service: str):
    with openai.OpenAI(api_key="key", base_url=service, max_retries=2) as client:
        Handler.failures = 2
        assert client.chat.completions.create(**ASK).id == "1"
        Handler.failures = 3
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ASK)
        assert caught.value.response.status_code == 500
    with (
        openai.OpenAI(api_key="key", base_url="http://127.0.0.1:1", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(**ASK)


def test_openai_works_in_async_code(service: str):
    async def main() -> tuple[str, str]:
        async with openai.AsyncOpenAI(api_key="key", base_url=service) as client:
            whole = await client.chat.completions.create(**ASK)
            stream = await client.chat.completions.create(**ASK, stream=True)
            pieces = [each.choices[0].delta.content async for each in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(main()) == ("hello", "hello")


def test_openai_retries_and_reports_errors_in_async_code(service: str):
    async def main() -> str:
        async with openai.AsyncOpenAI(api_key="key", base_url=service, max_retries=1) as client:
            Handler.failures = 2
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(**ASK)
            Handler.failures = 1
            answer = await client.chat.completions.create(**ASK)
            assert len(client._client._transport._pool._requests) == 0
            return answer.id

    assert asyncio.run(main()) == "1"


def test_openai_is_mocked_by_respx(respx_mock: Any):
    """As openai's own tests do: its time-out and its retries are those of a request that respx lets fail."""
    route = respx_mock.post("https://api.openai.com/v1/chat/completions")
    route.side_effect = [httpx.TimeoutException("slow"), httpx.Response(200, json=COMPLETION)]
    with openai.OpenAI(api_key="key", max_retries=1) as client:
        client._calculate_retry_timeout = lambda *args: 0.0
        assert client.chat.completions.create(**ASK).id == "1"
    assert [call.request.headers["x-stainless-retry-count"] for call in route.calls] == ["0", "1"]
    route.side_effect = httpx.ReadTimeout("slow")
    with openai.OpenAI(api_key="key", max_retries=0) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**ASK)


def test_openai_stops_in_the_middle_of_a_stream(service: str):
    with openai.OpenAI(api_key="key", base_url=service) as client:
        for _ in range(3):
            with client.chat.completions.create(**ASK, stream=True) as stream:
                assert next(iter(stream)).choices[0].delta.content == "hel"
        assert len(client._client._transport._pool._requests) == 0

    async def main() -> int:
        async with openai.AsyncOpenAI(api_key="key", base_url=service) as client:
            async with await client.chat.completions.create(**ASK, stream=True) as stream:
                async for _ in stream:
                    break
            return len(client._client._transport._pool._requests)

    assert asyncio.run(main()) == 0


def test_openai_takes_a_client_of_ones_own():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json=COMPLETION)

    transport = httpx.MockTransport(answer)
    client = openai.OpenAI(api_key="key", http_client=openai.DefaultHttpxClient(transport=transport))
    assert client.chat.completions.create(**ASK, timeout=3).id == "1"
    assert seen == ["Bearer key"]

    async def main() -> str:
        http_client = openai.DefaultAsyncHttpxClient(transport=transport)
        async with openai.AsyncOpenAI(api_key="key", http_client=http_client) as client:
            return (await client.chat.completions.create(**ASK)).id

    assert asyncio.run(main()) == "1"


def test_anthropic_answers_and_streams(service: str):
    with anthropic.Anthropic(api_key="key", base_url=service) as client:
        assert client.messages.create(**ASK, max_tokens=9).content[0].text == "hello"
        with client.messages.stream(**ASK, max_tokens=9) as stream:
            assert list(stream.text_stream) == ["hel", "lo"]
            assert stream.get_final_message().usage.output_tokens == 2
        Handler.failures = 1
        assert client.messages.create(**ASK, max_tokens=9).id == "1"
        assert len(client._client._transport._pool._requests) == 0


def test_anthropic_reports_errors(service: str):
    with anthropic.Anthropic(api_key="key", base_url=service, max_retries=0) as client:
        Handler.failures = 1
        with pytest.raises(anthropic.InternalServerError):
            client.messages.create(**ASK, max_tokens=9)

    async def main() -> None:
        async with anthropic.AsyncAnthropic(api_key="key", base_url="http://127.0.0.1:1", max_retries=0) as client:
            await client.messages.create(**ASK, max_tokens=9)

    with pytest.raises(anthropic.APIConnectionError) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_anthropic_takes_mocks(respx_mock: Any):
    respx_mock.post("https://api.anthropic.com/v1/messages").respond(json=MESSAGE)
    with anthropic.Anthropic(api_key="key") as client:
        assert client.messages.create(**ASK, max_tokens=9).content[0].text == "hello"

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, json={"error": {"message": "later"}})

    async def main() -> None:
        http_client = anthropic.DefaultAsyncHttpxClient(transport=httpx.MockTransport(refuse))
        async with anthropic.AsyncAnthropic(api_key="key", http_client=http_client, max_retries=0) as client:
            await client.messages.create(**ASK, max_tokens=9)

    with pytest.raises(anthropic.RateLimitError):
        asyncio.run(main())


def test_anthropic_works_in_async_code(service: str):
    async def main() -> list[str]:
        client = anthropic.AsyncAnthropic(api_key="key", base_url=service)
        async with client, client.messages.stream(**ASK, max_tokens=9) as stream:
            return [text async for text in stream.text_stream]

    assert asyncio.run(main()) == ["hel", "lo"]


def test_huggingface_hub_reads_and_downloads(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    content = b"weights" * 100

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/models/"):
            return httpx.Response(200, json={"id": "org/model", "siblings": [], "tags": [], "private": False})
        headers = {"X-Repo-Commit": "0" * 40, "ETag": '"tag"', "Content-Length": str(len(content))}
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else content)

    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    try:
        assert huggingface_hub.HfApi(token=False).model_info("org/model").id == "org/model"
        path = huggingface_hub.hf_hub_download("org/model", "file.bin", cache_dir=tmp_path, token=False)
        with open(path, "rb") as file:
            assert file.read() == content
    finally:
        huggingface_hub.set_client_factory(httpx.Client)


def test_huggingface_hub_reports_errors():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, headers={"X-Error-Code": "RepoNotFound", "X-Request-Id": "7"}, json={})

    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    try:
        with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
            huggingface_hub.HfApi(token=False).model_info("org/none")
    finally:
        huggingface_hub.set_client_factory(httpx.Client)


def test_huggingface_hub_infers(service: str):
    asked = {"messages": ASK["messages"], "model": "m"}
    client = huggingface_hub.InferenceClient(base_url=service, api_key="key")
    assert client.chat_completion(**asked).choices[0].message.content == "hello"
    pieces = [each.choices[0].delta.content for each in client.chat_completion(**asked, stream=True)]
    assert "".join(pieces) == "hello"

    async def main() -> tuple[str, str]:
        async with huggingface_hub.AsyncInferenceClient(base_url=service, api_key="key") as client:
            whole = await client.chat_completion(**asked)
            stream = await client.chat_completion(**asked, stream=True)
            pieces = [each.choices[0].delta.content async for each in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(main()) == ("hello", "hello")


QUERY = gql.gql("query { name }")


def test_gql_asks(service: str):
    transport = gql.transport.httpx.HTTPXTransport(url=f"{service}/graphql", timeout=3, headers={"X-A": "1"})
    with gql.Client(transport=transport) as session:
        assert session.execute(QUERY) == {"name": "gql"}
        with pytest.raises(gql.transport.exceptions.TransportQueryError):
            session.execute(gql.gql("query { broken }"))


def test_gql_asks_in_async_code(service: str):
    async def main() -> Any:
        transport = gql.transport.httpx.HTTPXAsyncTransport(url=f"{service}/graphql")
        async with gql.Client(transport=transport) as session:
            return await asyncio.gather(*(session.execute(QUERY) for _ in range(5)))

    assert asyncio.run(main()) == [{"name": "gql"}] * 5


def node(url: str) -> elastic_transport.NodeConfig:
    scheme, host, port = httpx.URL(url).scheme, httpx.URL(url).host, httpx.URL(url).port
    return elastic_transport.NodeConfig(scheme, host, port or 80)


def test_elastic_transport_asks(service: str):
    transport = elastic_transport.Transport([node(service)], node_class=elastic_transport.HttpxHttpNode)
    try:
        answer = transport.perform_request("POST", "/chat", body={}, headers={"content-type": "application/json"})
        assert (answer.meta.status, answer.body["id"]) == (200, "1")
        with pytest.raises(elastic_transport.ConnectionError):
            elastic_transport.HttpxHttpNode(node("http://127.0.0.1:1")).perform_request("GET", "/")
    finally:
        transport.close()

    async def main() -> Any:
        transport = elastic_transport.AsyncTransport([node(service)], node_class=elastic_transport.HttpxAsyncHttpNode)
        try:
            return (await transport.perform_request("GET", "/")).body
        finally:
            await transport.close()

    assert asyncio.run(main()) == {"name": "elastic"}


def test_elastic_transport_reports_errors():
    async def main() -> None:
        transport = elastic_transport.AsyncTransport(
            [node("http://127.0.0.1:1")], node_class=elastic_transport.HttpxAsyncHttpNode, max_retries=0
        )
        try:
            await transport.perform_request("GET", "/")
        finally:
            await transport.close()

    with pytest.raises(elastic_transport.ConnectionError):
        asyncio.run(main())
